"""What an account sets up and moves: leverage, margin type, position mode, asset mode, isolated margin, transfers, fee asset."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, AssetModeHappened, LeverageHappened, PositionSide, Refused
from userstream.sim.instruments import is_amount
from userstream.sim.ledger import Leg, Terms, money
from userstream.sim.margin import available
from userstream.sim.world import Account, World

# Reasons of a transfer whose income line has a name of its own (Binance USD-M, 6.1, income types).
INCOME_TYPES: Final = {
    "auto_exchange": "auto_exchange",
    "coin_swap_deposit": "coin_swap_deposit",
    "coin_swap_withdraw": "coin_swap_withdraw",
    "options_premium_fee": "options_premium_fee",
    "options_settle_profit": "options_settle_profit",
    "insurance_clear": "insurance_clear",
    "welcome_bonus": "welcome_bonus",
}
OWN_WISHES: Final = frozenset({"withdraw"})  # bounded by what is available; the exchange's own bookings are not


def transfer(world: World, account: Account, asset: str, amount: Decimal, reason: str) -> None:
    """Money comes in (positive) or goes out (negative). A withdrawal cannot take more than is available."""
    if not asset or not reason or not is_amount(amount) or not amount or money(amount) != amount:
        raise Refused("bad_amount", "amount must not be 0 and have at most 8 decimals")
    if reason in OWN_WISHES and amount < ZERO and -amount > _withdrawable(world, account, asset):
        raise Refused("balance_insufficient", "balance is insufficient")
    account.ledger.post(INCOME_TYPES.get(reason, "transfer"), asset, amount, world.now, info=reason.upper())
    world.touch(account)
    world.tell_account(account, reason, [asset], (), {asset: amount})


def _withdrawable(world: World, account: Account, asset: str) -> Decimal:
    """Unrealised profit backs positions but cannot leave."""
    return min(available(account, asset, world), account.ledger.cross_wallet(asset))


def set_leverage(world: World, account: Account, symbol: str, leverage: int) -> int:
    """Choose the leverage for the symbol; news only when it changes."""
    instrument = world.instrument(symbol)
    if not 1 <= leverage <= instrument.max_leverage:
        raise Refused("leverage_out_of_range", f"leverage must be from 1 to {instrument.max_leverage}")
    terms = account.ledger.terms_of(symbol)
    before = terms.leverage
    if leverage == before:
        return leverage
    if leverage < before and terms.isolated and _legs(account, symbol):
        raise Refused("leverage_reduction_isolated", "leverage of an isolated position cannot be reduced")
    terms.leverage = leverage
    if leverage < before and available(account, instrument.margin_asset, world) < ZERO:
        terms.leverage = before
        raise Refused("leverage_insufficient_margin", "margin is insufficient for this leverage")
    world.news.append(LeverageHappened(account=account.name, time=world.now, symbol=symbol, leverage=leverage))
    return leverage


def set_margin_type(world: World, account: Account, symbol: str, margin_type: str) -> None:
    """Cross or isolated, for a symbol without position and open orders."""
    instrument = world.instrument(symbol)
    terms = account.ledger.terms_of(symbol)
    if margin_type not in {"cross", "isolated"}:
        raise Refused("bad_margin_type", "margin type is cross or isolated")
    isolated = margin_type == "isolated"
    if isolated == terms.isolated:
        raise Refused("no_need_to_change_margin_type", "the margin type is this already")
    _check_margin_type_change(account, symbol, isolated=isolated)
    terms.isolated = isolated
    sides = (PositionSide.LONG, PositionSide.SHORT) if account.settings.hedge_mode else (PositionSide.BOTH,)
    legs = [account.ledger.leg(instrument, side) for side in sides]
    world.tell_account(account, "margin_type_change", (), legs)


def _check_margin_type_change(account: Account, symbol: str, *, isolated: bool) -> None:
    if isolated and account.settings.multi_assets:
        raise Refused("isolated_with_multi_assets", "multi-assets mode knows cross margin only")
    if account.records.open_orders(symbol):
        raise Refused("margin_type_open_orders", "there are open orders on the symbol")
    if _legs(account, symbol):
        raise Refused("margin_type_open_positions", "there is a position on the symbol")


def add_isolated_margin(world: World, account: Account, symbol: str, side: PositionSide, amount: Decimal) -> None:
    """Move money between the cross wallet and an isolated position: in when positive, out when negative."""
    instrument = world.instrument(symbol)
    leg = account.ledger.leg(instrument, side)
    terms = account.ledger.terms_of(symbol)
    if not is_amount(amount) or not amount or money(amount) != amount:
        raise Refused("bad_amount", "amount must not be 0 and have at most 8 decimals")
    if not leg.amount or not terms.isolated:
        raise Refused("not_isolated", "there is no isolated position")
    if amount > available(account, instrument.margin_asset, world):
        raise Refused("insufficient_cross_margin", "the cross wallet has not that much to give")
    if -amount > _removable(world, leg, terms):
        raise Refused("insufficient_isolated_margin", "the position needs this margin")
    leg.isolated_wallet += amount
    leg.updated_time = world.now
    world.touch(account)
    world.tell_account(account, "margin_transfer", [instrument.margin_asset], [leg], {instrument.margin_asset: ZERO})


def _removable(world: World, leg: Leg, terms: Terms) -> Decimal:
    """The position keeps its initial margin and its unrealised loss."""
    mark = world.mark_price(leg.symbol)
    loss = min(leg.contract.profit(leg.amount, leg.entry_price, mark), ZERO)
    return leg.isolated_wallet + loss - leg.contract.worth(mark, abs(leg.amount)) / terms.leverage


def set_hedge_mode(world: World, account: Account, hedge: bool) -> None:
    """One position a symbol, or two legs. The caller checked that nothing is open; no news is sent (Binance USD-M, 4.1.5)."""
    account.settings.hedge_mode = hedge
    account.settings.updated_time = world.now


def check_hedge_mode(account: Account, hedge: bool) -> None:
    """Nothing may be open, and there must be something to change."""
    if hedge == account.settings.hedge_mode:
        raise Refused("no_need_to_change_position_side", "the position mode is this already")
    if account.records.open_orders() or account.records.waiting_algos:
        raise Refused("mode_change_open_orders", "there are open orders")
    if any(account.ledger.open_legs()):
        raise Refused("mode_change_open_positions", "there are open positions")


def set_multi_assets(world: World, account: Account, flag: bool) -> None:
    """Whether all assets together back all cross positions."""
    if flag == account.settings.multi_assets:
        raise Refused("no_need_to_change_multi_assets", "the asset mode is this already")
    if flag and any(terms.isolated for terms in account.ledger.terms.values()):
        raise Refused("multi_assets_with_isolated", "multi-assets mode knows cross margin only")
    account.settings.multi_assets = flag
    assets = dict.fromkeys(instrument.margin_asset for instrument in world.instruments.values())
    if not flag and any(available(account, asset, world) < ZERO for asset in assets):
        account.settings.multi_assets = True
        raise Refused("margin_insufficient", "margin is insufficient without the other assets")
    account.settings.updated_time = world.now
    world.touch(account)
    world.news.append(AssetModeHappened(account=account.name, time=world.now, multi_assets=flag))


def set_can_trade(world: World, account: Account, flag: bool) -> None:
    """Whether the exchange lets the account trade. Cancelling stays possible; no news is sent."""
    account.settings.can_trade = flag
    account.settings.updated_time = world.now


def set_fee_asset(world: World, account: Account, asset: str) -> None:
    """Fees are paid in this asset while it lasts; empty means the margin asset."""
    if asset and not any(world.asset_price(asset, each.margin_asset) for each in world.instruments.values()):
        raise Refused("unknown_asset", "no contract prices this asset")
    account.fee_asset = asset


def _legs(account: Account, symbol: str) -> bool:
    return any(leg.amount for leg in account.ledger.legs.get(symbol, {}).values())
