"""A shop that grows out of a legacy database.

An older application still writes customers, products and stock into its own database. Debezium captures its
changes; :mod:`sample_app.legacy` turns them into events and mirrors. New business is event-sourced:
:mod:`sample_app.orders`. Read models fold both: :mod:`sample_app.read_models`. ``python -m sample_app`` shows
it at work on a real capture; :mod:`sample_app.app` puts the parts together.
"""
