package engine

import (
	"errors"

	"tlsurge/harness/record"
	"tlsurge/profiles/wire"
)

// What only a peer that speaks TLS 1.3 can do wrong.
var (
	ErrLegacyVersion      = errors.New("legacy_version is not TLS 1.2 beside supported_versions")
	ErrSelectedVersion    = errors.New("supported_versions selects a version that was not offered")
	ErrDraftVersion       = errors.New("server speaks a draft of TLS 1.3 that is offered and not spoken")
	ErrSessionEcho        = errors.New("legacy_session_id_echo differs from legacy_session_id")
	ErrRetryNothing       = errors.New("HelloRetryRequest asks for no change")
	ErrRetryGroup         = errors.New("HelloRetryRequest asks for a group that was not listed or has a share already")
	ErrRetryChanged       = errors.New("ServerHello differs from the HelloRetryRequest before it")
	ErrSecondHello        = errors.New("second ClientHello differs from what the HelloRetryRequest asked for")
	ErrMissingExtension   = errors.New("mandatory extension missing")
	ErrForbiddenExtension = errors.New("extension not allowed in this message")
	ErrUnspokenExtension  = errors.New("server answered an extension that is offered and not spoken")
	ErrSelectedIdentity   = errors.New("server selected a PSK that was not offered or does not fit the suite")
	ErrBadBinder          = errors.New("PSK binder is wrong")
	ErrMoreCompression    = errors.New("more than null compression under TLS 1.3")
	ErrPSKNotLast         = errors.New("pre_shared_key is not the last extension")
	ErrEarlyDataAnswer    = errors.New("early_data accepted without the first PSK")
	ErrTooMuchEarlyData   = errors.New("more 0-RTT data than allowed")
	ErrCertContext        = errors.New("certificate_request_context differs")
	ErrEmptyCertificate   = errors.New("server sent an empty Certificate")
	ErrClientCertificate  = errors.New("client sent no certificate")
	ErrCertCompression    = errors.New("certificate compression was not offered or is not implemented")
	ErrCertDecompress     = errors.New("compressed certificate does not decompress to its stated length")
	ErrFinishedLength     = errors.New("verify_data has the wrong length")
	ErrKeyUpdateRequest   = errors.New("KeyUpdate request is neither 0 nor 1")
	ErrTooManyKeyUpdates  = errors.New("too many KeyUpdates without data between them")
	ErrExtensionTwice     = errors.New("extension twice in ServerHello, HelloRetryRequest or NewSessionTicket")
	ErrBinderCount        = errors.New("as many PSK binders as identities are needed")
	ErrTicketLifetime     = errors.New("ticket_lifetime above seven days")
)

// causes13 says which alert answers which cause; alertFor reads it after causes12.
var causes13 = []causeAlert{
	{record.ErrInnerType, wire.AlertUnexpectedMessage},
	{record.ErrOuterType, wire.AlertUnexpectedMessage},
	{ErrLegacyVersion, wire.AlertIllegalParameter},
	{ErrSelectedVersion, wire.AlertIllegalParameter},
	{ErrDraftVersion, wire.AlertProtocolVersion},
	{ErrSessionEcho, wire.AlertIllegalParameter},
	{ErrRetryNothing, wire.AlertIllegalParameter},
	{ErrRetryGroup, wire.AlertIllegalParameter},
	{ErrRetryChanged, wire.AlertIllegalParameter},
	{ErrSecondHello, wire.AlertIllegalParameter},
	{ErrMissingExtension, wire.AlertMissingExtension},
	{ErrForbiddenExtension, wire.AlertIllegalParameter},
	{ErrUnspokenExtension, wire.AlertUnsupportedExtension},
	{ErrSelectedIdentity, wire.AlertIllegalParameter},
	{ErrBadBinder, wire.AlertDecryptError},
	{ErrPSKNotLast, wire.AlertIllegalParameter},
	{ErrMoreCompression, wire.AlertIllegalParameter},
	{ErrEarlyDataAnswer, wire.AlertIllegalParameter},
	{ErrTooMuchEarlyData, wire.AlertUnexpectedMessage},
	{ErrCertContext, wire.AlertIllegalParameter},
	{ErrEmptyCertificate, wire.AlertDecodeError},
	{ErrClientCertificate, wire.AlertCertificateRequired},
	{ErrCertCompression, wire.AlertIllegalParameter},
	{ErrCertDecompress, wire.AlertBadCertificate},
	{ErrFinishedLength, wire.AlertDecodeError},
	{ErrKeyUpdateRequest, wire.AlertIllegalParameter},
	{ErrTooManyKeyUpdates, wire.AlertUnexpectedMessage},
	{ErrTicketLifetime, wire.AlertIllegalParameter},
	{ErrExtensionTwice, wire.AlertIllegalParameter},
	{ErrBinderCount, wire.AlertIllegalParameter},
}
