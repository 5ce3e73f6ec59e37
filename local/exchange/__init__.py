"""A simulator of both exchanges: their WebSocket and REST servers, in their native protocols, on one port.

It replays recorded trades, goes on with synthetic ones, and does on request what real exchanges do by accident
(`POST /_control/faults`). The market is a pure function of its state file and the time, so REST can be asked for
any past, and a restart goes on as if nothing had happened.
"""
