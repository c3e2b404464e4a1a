"""What every part shares: settings, errors, SQL models, codecs and the artifact; no clients, no torch."""
