"""The routes, one module a subject; each declares the scopes it asks for."""
