"""Workers that are killed with `kill -9`, beside a provider in another process that counts what was bought."""
