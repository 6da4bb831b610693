"""The spot books of the paper exchange: wallets instead of positions, lists of orders, stops that wait inside the exchange."""
