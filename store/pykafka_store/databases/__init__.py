"""The databases that sinks write and sources read: connections, what errors mean, and how long one is waited for."""
