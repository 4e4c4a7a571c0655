// Package profiles is the bytes: named browsers, each a TOML file of facts with its source: the exact
// ClientHello it sends, first, resumed and in a fallback; how it connects, retries, falls back, resumes
// and keeps alive; and the words in which it tells its user what went wrong.
//
// It opens no socket and holds no key. Randomness and time are arguments.
package profiles
