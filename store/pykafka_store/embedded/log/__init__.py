"""The log of one replica of one partition: its writer, its recovery and its readers."""
