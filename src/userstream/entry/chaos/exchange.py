"""The paper exchange of one run: one account, its books, and the hand that plays a script on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

import msgspec

from userstream.entry.chaos.scoreboard import WALLET, Books, read_books
from userstream.entry.chaos.scripts import ACCOUNT, ChaosScript, TellAgain
from userstream.entry.chaos.sightings import FillKey, LegKey
from userstream.kernel.errors import PaperExchangeError
from userstream.sim.actions import EVERYBODY, Action, Answer, BadAction, Clear, FillOrder, PauseTrading, ResumeTrading
from userstream.sim.books import Happening, Millis, OrderHappened, Refused
from userstream.sim.house import Hall
from userstream.sim.performing import explain_refusal, perform
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings, VenueListing
from userstream.sim.venue import Call

ALWAYS: Final = 1_000_000
MOST_REMEMBERED: Final = 10


class ChaosExchange:
    """Owns the server: use it as a context manager. Until `begin` the account does not trade and the script's asset is not listed."""

    def __init__(self, script: ChaosScript, seed: int) -> None:
        self._script, self._product = script, script.product
        file, venue = script.file, script.product.venue
        self._server = PaperExchangeServer(
            SimulatorSettings(
                venues=(venue,),
                accounts=(AccountSpec(account=ACCOUNT, venue=venue, balances=script.balances),),
                rate=file.rate,
                seed=seed,
                socket_life_s=file.life_s,
            )
        )
        self.moves = 0
        """How often something happened in the books so far."""
        self.ended_ms = Millis(0)
        """When the script was over (ms since 1970)."""
        self._fills: deque[tuple[Happening, ...]] = deque(maxlen=MOST_REMEMBERED)
        self._server.house.on_news = self._remember
        self._opening: Mapping[LegKey, Decimal] = {(asset, WALLET): amount for asset, amount in script.balances.items()}

    async def __aenter__(self) -> Self:
        listing = await self._server.start()
        self.place: VenueListing = listing.venues[self._product.venue]
        self.key: AccountListing = listing.accounts[0]
        self.act(PauseTrading())
        if self._script.file.unlisted:
            self._hide(self._script.file.unlisted)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()

    @property
    def has_listener(self) -> bool:
        """Whether a private socket of the account is open."""
        return any(True for _ in self._server.house.lanes(ACCOUNT))

    @property
    def books(self) -> Books:
        """What really happened, never lagged."""
        truth = self._server.control.truth(ACCOUNT)
        opening = self._opening if self._product.has_wallets else None
        return read_books(truth if isinstance(truth, Mapping) else {}, opening)

    def begin(self) -> None:
        """The script begins: hidden contracts are listed, and the account trades if the script wants it to."""
        if self._script.file.unlisted:
            self.act(Clear())
        self.act(ResumeTrading())

    def end(self) -> None:
        """The script's last step is done: the account trades no more, and frames go their way again, so that no client loses the last sign
        of life to what the script left over. All other faults that have no end of their own stay."""
        self.act(PauseTrading())
        self._server.house.faults.end_rules()
        self.ended_ms = self._server.house.now()

    def act(self, action: Action) -> None:
        """Carries out a step. Raises PaperExchangeError when the exchange refuses it: then the script is wrong."""
        house, hall = self._server.house, self._hall
        now = house.now()
        try:
            if isinstance(action, TellAgain):
                self._tell_again(action, now)
            else:
                perform(action, house, now)
        except (BadAction, Refused) as wrong:
            raise PaperExchangeError(f"the script {self._script.name}: {explain_refusal(action, wrong)}") from wrong
        finally:
            house.publish(hall, now)

    def place_probe(self, name: str) -> None:
        """A resting order that has nothing to do with the script."""
        self.act(self._product.make_probe(ACCOUNT, name))

    def fill_probe(self, name: str) -> FillKey:
        """Somebody takes it; returns the fill's key."""
        symbol = self._product.probe_symbol
        self.act(FillOrder(account=ACCOUNT, symbol=symbol, client_order_id=name))
        # trades are numbered contract by contract: another one's last number may be higher
        return max((key for key in self.books.fills if key[0] == symbol), key=lambda key: int(key[1]))

    @property
    def _hall(self) -> Hall:
        return self._server.house.hall_of(ACCOUNT)

    def _remember(self, happenings: Sequence[Happening]) -> None:
        """Keeps what the venue told of the latest fills: the reports of the order and of the account."""
        self.moves += 1
        if any(isinstance(each, OrderHappened) and each.fill is not None for each in happenings):
            self._fills.append(tuple(happenings))

    def _tell_again(self, action: TellAgain, now: Millis) -> None:
        if len(self._fills) <= action.back:
            raise BadAction("action 'tell_again': there is no such fill yet")
        frames = self._hall.dialect.write(self._fills[-1 - action.back], now)
        for _ in range(action.times):
            self._server.house.send_frames(self._hall, [each for each in frames if action.event in (EVERYBODY, each.event)], now)

    def _hide(self, asset: str) -> None:
        """The list of contracts is told without those of an asset."""
        now = self._server.house.now()
        reply = self._hall.dialect.answer(Call(method="GET", path=self._product.listing_path), now)
        told = msgspec.json.decode(reply.body, type=dict[str, object])
        contracts = msgspec.convert(told["symbols"], list[dict[str, object]])
        told["symbols"] = [row for row in contracts if row["baseAsset"] != asset]
        self.act(Answer(path=self._product.listing_path, status=200, body=msgspec.json.encode(told).decode(), count=ALWAYS))
