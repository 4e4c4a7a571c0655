// Package keys turns secrets into keys: the pseudorandom functions and key blocks of SSL 3.0 to TLS 1.2,
// the key schedule of TLS 1.3, key shares, and the tables that say what a cipher suite is made of.
//
// It owns derivations. It does not own records (package record), states (package engine) or the
// primitives themselves, which come from the standard library, golang.org/x/crypto. It is pure.
package keys
