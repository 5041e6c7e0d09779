"""The judge offline: over folders of blocks and peers' own ledgers. Files are read here; `trusted/ledger` judges."""
