"""The command ``headwater``: every verb for people, and with ``--json`` for scripts."""
