"""Logs: one JSON line an event, control characters escaped, a request's id with it.

Called once by `app.main` or `app.cli`; everyone else uses `logging.getLogger(__name__)`.
"""
