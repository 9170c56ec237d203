"""Producer, consumer and copier of a data directory."""
