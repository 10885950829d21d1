"""Sound on its way to a network: formats, streams, resampling, features, voice activity; no file is opened here."""
