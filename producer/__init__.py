"""Exchange to Kafka: streams trades over WebSocket, heals its own reconnects over REST."""
