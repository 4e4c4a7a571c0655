package main

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// scrapeVariable hands the socket of --metrics from the process that the user started to the one that runs,
// which may stand in a network namespace where nobody would find it.
const scrapeVariable = "TLSURGE_METRICS_SOCKET"

// listenForScrapes listens for /metrics, or takes over the socket on which that was done already. Nil: no
// address was given.
func listenForScrapes(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	if fd, err := strconv.Atoi(os.Getenv(scrapeVariable)); err == nil {
		os.Unsetenv(scrapeVariable)
		syscall.CloseOnExec(fd) // edges and agents have no use for it
		file := os.NewFile(uintptr(fd), "metrics")
		defer file.Close() // the listener has its own
		return net.FileListener(file)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, usagef("--metrics: %v", err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	l.Close() // the file keeps the socket
	// A descriptor that a child process inherits, unlike those of package os.
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	file.Close()
	return nil, os.Setenv(scrapeVariable, strconv.Itoa(fd))
}
