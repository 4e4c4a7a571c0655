// Command tlsurge reproduces the TLS errors that real browsers see under load and damage.
package main

func main() {}
