"""Our own authorization server: OAuth 2.0 and OpenID Connect, shaped as published clients need it. One file per RFC."""
