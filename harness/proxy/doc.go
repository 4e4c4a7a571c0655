// Package proxy is the bundled edge: a reverse proxy that ends TLS on our own engine (or on crypto/tls),
// reads nginx's configuration language, keeps nginx's connection table and writes nginx's logs. The balancer
// and the application behind it are here too.
//
// It owns sockets, timeouts, sessions, ticket keys and logs. What a request gets is package site's; what a TLS
// library answers is package engine's, by the rules of package stack; what an error means to a user is
// nobody's business here.
package proxy
