import asyncio
from typing import Dict, Any
from binance_futures_async import BinanceClient
from binance_futures_async.exceptions import (
    ConnectionError,
    AuthenticationError,
    UserStreamError
)

class UserDataHandler:
    def __init__(self):
        self.positions = {}
        self.balances = {}
        self.orders = {}

    async def handle_message(self, message: Dict[str, Any]):
        """Handle incoming user data stream messages."""
        try:
            event_type = message.get('e')
            
            if event_type == 'ACCOUNT_UPDATE':
                await self.handle_account_update(message)
            elif event_type == 'ORDER_TRADE_UPDATE':
                await self.handle_order_update(message)
            elif event_type == 'MARGIN_CALL':
                await self.handle_margin_call(message)
            elif event_type == 'ACCOUNT_CONFIG_UPDATE':
                await self.handle_position_update(message)
                
        except Exception as e:
            print(f"Error processing message: {e}")

    async def handle_account_update(self, message: Dict[str, Any]):
        """Process account updates."""
        update = message['a']
        
        # Update balances
        for balance in update['B']:
            asset = balance['a']
            self.balances[asset] = {
                'wallet_balance': balance['wb'],
                'cross_wallet_balance': balance['cw']
            }
        
        # Update positions
        for position in update['P']:
            symbol = position['s']
            self.positions[symbol] = {
                'amount': position['pa'],
                'entry_price': position['ep'],
                'unrealized_pnl': position['up']
            }

    async def handle_order_update(self, message: Dict[str, Any]):
        """Process order updates."""
        order = message['o']
        order_id = order['c']
        
        self.orders[order_id] = {
            'symbol': order['s'],
            'side': order['S'],
            'type': order['o'],
            'status': order['X'],
            'price': order['p'],
            'quantity': order['q']
        }

async def main():
    client = BinanceClient()
    user_stream = None
    handler = UserDataHandler()
    
    try:
        # Initialize user data stream
        user_stream = await client.user_stream(
            api_key="your_api_key",
            message_handler=handler.handle_message,
            config={
                'health_check_interval': 30,  # More frequent health checks
                'ping_interval': 1800         # 30-minute keepalive
            }
        )
        
        print("User data stream started")
        
        # Keep the connection alive
        while True:
            await asyncio.sleep(1)
            
            # Example: Print current positions
            if handler.positions:
                print("\nCurrent Positions:")
                for symbol, pos in handler.positions.items():
                    print(f"{symbol}: {pos['amount']} @ {pos['entry_price']}")
            
    except ConnectionError as e:
        print(f"Connection error: {e}")
    except AuthenticationError as e:
        print(f"Authentication error: {e}")
    except UserStreamError as e:
        print(f"User stream error: {e}")
    except Exception as e:
        print(f"Unexpected error: {e}")
    finally:
        if user_stream:
            await user_stream.stop()

if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl-C; main() has stopped the stream
        pass
