// Package interop holds the tests of our TLS engine against everybody else's: OpenSSL, GnuTLS, NSS,
// nginx, HAProxy, curl, crypto/tls and real browsers, as client and as server, on loopback.
//
// It owns no product code. One engine on both ends proves little; here the other end is never ours. A
// peer that is not installed skips its tests, unless TLSURGE_REQUIRE names it (a list such as
// "openssl,nginx,haproxy,gnutls,nss,curl"), and then fails them. What the peers can do and we cannot, or
// the reverse, stands in exclusions_test.go with a reason each; the table of docs/INTEROP.md is written
// by `go test ./harness/interop -run Matrix -rewrite`.
package interop
