"""Consumer groups without a coordinator: leases say who lives, one database says who owns what.

The model is KIP-848's: a group has an epoch and a target assignment; each member moves towards its part of it on its
own, giving up first and taking after. There is no leader and no barrier.
"""
