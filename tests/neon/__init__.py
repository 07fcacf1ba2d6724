"""Neon as it is, of real parts: PostgreSQL with TLS, a pooler in front of it, and a host that sleeps."""
