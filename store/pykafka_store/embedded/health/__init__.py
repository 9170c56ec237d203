"""Doctor, repair and upkeep of a data directory."""
