"""The HTTP API and the page: `create_app` makes the application, `run_server` serves it."""
