"""Jobs in containers: with a real engine, and with a stand-in for its command."""
