"""The conformance kit: fault scripts, clients that live through them at the paper exchange, and a scoreboard that judges what they saw."""
