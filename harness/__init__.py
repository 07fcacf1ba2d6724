"""What tests, stress, bench, security, fuzz and field share: servers, databases, issuers."""
