"""The HTTP server: listener, middleware, handlers, status page."""
