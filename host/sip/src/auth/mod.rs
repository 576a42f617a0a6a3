//! Digest access authentication for clients (RFC 2617, RFC 7616, RFC 8760).
