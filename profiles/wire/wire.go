// Package wire is the vocabulary of TLS: the numbers of the IANA registries with their names, and
// the codecs of records and handshake messages, SSL 3.0 to TLS 1.3.
//
// It owns what bytes mean. It does not own what to do about them: states, keys and policies live
// above. It is pure: no I/O, no clock, no randomness, no package-level mutable state.
package wire

import "fmt"

// Version is a protocol version as it stands on the wire.
type Version uint16

// The versions this program speaks or recognises.
const (
	SSL20 Version = 0x0002
	SSL30 Version = 0x0300
	TLS10 Version = 0x0301
	TLS11 Version = 0x0302
	TLS12 Version = 0x0303
	TLS13 Version = 0x0304
)

// String gives the customary name ("TLS 1.2"); an unknown version reads "0x7a7a".
func (v Version) String() string {
	switch v {
	case SSL20:
		return "SSL 2.0"
	case SSL30:
		return "SSL 3.0"
	case TLS10:
		return "TLS 1.0"
	case TLS11:
		return "TLS 1.1"
	case TLS12:
		return "TLS 1.2"
	case TLS13:
		return "TLS 1.3"
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

// RecordType is the content type of a record (RFC 8446 §5.1, Record Layer).
type RecordType uint8

const (
	RecordChangeCipherSpec RecordType = 20
	RecordAlert            RecordType = 21
	RecordHandshake        RecordType = 22
	RecordApplicationData  RecordType = 23
	RecordHeartbeat        RecordType = 24
)

// HandshakeType is the type of a handshake message (RFC 8446 §4, Handshake Protocol; RFC 5246 §7.4).
type HandshakeType uint8

const (
	TypeHelloRequest          HandshakeType = 0
	TypeClientHello           HandshakeType = 1
	TypeServerHello           HandshakeType = 2
	TypeNewSessionTicket      HandshakeType = 4
	TypeEndOfEarlyData        HandshakeType = 5
	TypeEncryptedExtensions   HandshakeType = 8
	TypeCertificate           HandshakeType = 11
	TypeServerKeyExchange     HandshakeType = 12
	TypeCertificateRequest    HandshakeType = 13
	TypeServerHelloDone       HandshakeType = 14
	TypeCertificateVerify     HandshakeType = 15
	TypeClientKeyExchange     HandshakeType = 16
	TypeFinished              HandshakeType = 20
	TypeCertificateStatus     HandshakeType = 22
	TypeKeyUpdate             HandshakeType = 24
	TypeCompressedCertificate HandshakeType = 25
	TypeNextProtocol          HandshakeType = 67
	TypeMessageHash           HandshakeType = 254
)

// CipherSuite is a cipher suite number, SCSVs and GREASE values included.
type CipherSuite uint16

// Two numbers among the suites that are signals, not suites (RFC 5746 §3.3, RFC 7507 §2).
const (
	EmptyRenegotiationInfoSCSV CipherSuite = 0x00ff
	FallbackSCSV               CipherSuite = 0x5600
)

// Group is a named group (RFC 8446 §4.2.7, Supported Groups).
type Group uint16

const (
	Secp256r1      Group = 0x0017
	Secp384r1      Group = 0x0018
	Secp521r1      Group = 0x0019
	X25519         Group = 0x001d
	X25519MLKEM768 Group = 0x11ec
	X25519Kyber768 Group = 0x6399 // draft, offered only
)

// SignatureScheme is a signature scheme; in TLS 1.2 it is the pair hash<<8 | signature.
type SignatureScheme uint16

// ExtensionType is the number of a hello extension.
type ExtensionType uint16

const (
	ExtServerName           ExtensionType = 0
	ExtStatusRequest        ExtensionType = 5
	ExtSupportedGroups      ExtensionType = 10
	ExtECPointFormats       ExtensionType = 11
	ExtSignatureAlgorithms  ExtensionType = 13
	ExtHeartbeat            ExtensionType = 15
	ExtALPN                 ExtensionType = 16
	ExtSCT                  ExtensionType = 18
	ExtPadding              ExtensionType = 21
	ExtEncryptThenMAC       ExtensionType = 22
	ExtExtendedMasterSecret ExtensionType = 23
	ExtCompressCertificate  ExtensionType = 27
	ExtRecordSizeLimit      ExtensionType = 28
	ExtDelegatedCredentials ExtensionType = 34
	ExtSessionTicket        ExtensionType = 35
	ExtPreSharedKey         ExtensionType = 41
	ExtEarlyData            ExtensionType = 42
	ExtSupportedVersions    ExtensionType = 43
	ExtCookie               ExtensionType = 44
	ExtPSKKeyExchangeModes  ExtensionType = 45
	ExtSignatureAlgsCert    ExtensionType = 50
	ExtKeyShare             ExtensionType = 51
	ExtNextProtoNegotiation ExtensionType = 13172
	ExtChannelIDOld         ExtensionType = 30031
	ExtChannelID            ExtensionType = 30032
	ExtRenegotiationInfo    ExtensionType = 65281
	ExtPaddingDraft         ExtensionType = 35655 // 0x8b47, before IANA named 21
)

// IsGREASE says whether v is one of the sixteen reserved values of RFC 8701 §2.
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
