package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// The signature schemes that this program can sign or verify with (RFC 8446 §4.2.3, Signature
// Algorithms). In TLS 1.2 the same numbers are pairs of hash and signature (RFC 5246 §7.4.1.4.1).
const (
	RSAPKCS1MD5          SignatureScheme = 0x0101
	RSAPKCS1SHA1         SignatureScheme = 0x0201
	ECDSASHA1            SignatureScheme = 0x0203
	RSAPKCS1SHA224       SignatureScheme = 0x0301
	ECDSASHA224          SignatureScheme = 0x0303
	RSAPKCS1SHA256       SignatureScheme = 0x0401
	ECDSASecp256r1SHA256 SignatureScheme = 0x0403
	RSAPKCS1SHA384       SignatureScheme = 0x0501
	ECDSASecp384r1SHA384 SignatureScheme = 0x0503
	RSAPKCS1SHA512       SignatureScheme = 0x0601
	ECDSASecp521r1SHA512 SignatureScheme = 0x0603
	RSAPSSRSAESHA256     SignatureScheme = 0x0804
	RSAPSSRSAESHA384     SignatureScheme = 0x0805
	RSAPSSRSAESHA512     SignatureScheme = 0x0806
	Ed25519              SignatureScheme = 0x0807
	Ed448                SignatureScheme = 0x0808
	RSAPSSPSSSHA256      SignatureScheme = 0x0809
	RSAPSSPSSSHA384      SignatureScheme = 0x080a
	RSAPSSPSSSHA512      SignatureScheme = 0x080b
)

// More extension types, for the accessors of package hello.
const (
	ExtMaxFragmentLength       ExtensionType = 1
	ExtStatusRequestV2         ExtensionType = 17
	ExtPostHandshakeAuth       ExtensionType = 49
	ExtQUICTransportParameters ExtensionType = 57
	ExtApplicationSettings     ExtensionType = 17513
	ExtApplicationSettingsNew  ExtensionType = 17613
	ExtTrustAnchors            ExtensionType = 51764
	ExtEncryptedClientHello    ExtensionType = 65037
)

// PSKMode is a psk_key_exchange_mode (RFC 8446 §4.2.9, Pre-Shared Key Exchange Modes).
type PSKMode uint8

const (
	PSKOnly PSKMode = 0 // psk_ke
	PSKDHE  PSKMode = 1 // psk_dhe_ke
)

// CertCompression is a certificate compression algorithm (RFC 8879 §7.3).
type CertCompression uint16

const (
	CertZlib   CertCompression = 1
	CertBrotli CertCompression = 2
	CertZstd   CertCompression = 3
)

// String gives the registry's name ("x25519"); unknown numbers read "0x6a6b", reserved ones "GREASE".
func (g Group) String() string { return numberName(groupNames, g) }

// ParseGroup is the reverse of Group.String.
func ParseGroup(name string) (Group, error) {
	return parseNumber(groupByName, "group", "a name such as x25519 or secp256r1", name)
}

// String gives the registry's name, and for TLS 1.2 pairs without one "rsa_sha224", "dsa_sha1", …
func (s SignatureScheme) String() string { return numberName(schemeNames, s) }

// ParseSignatureScheme is the reverse of SignatureScheme.String.
func ParseSignatureScheme(name string) (SignatureScheme, error) {
	return parseNumber(schemeByName, "signature scheme", "a name such as rsa_pkcs1_sha256", name)
}

// String gives the registry's name ("server_name").
func (t ExtensionType) String() string { return numberName(extensionNames, t) }

// ParseExtensionType is the reverse of ExtensionType.String.
func ParseExtensionType(name string) (ExtensionType, error) {
	return parseNumber(extensionByName, "extension", "a name such as server_name", name)
}

// String gives "psk_dhe_ke" or "psk_ke".
func (m PSKMode) String() string {
	switch m {
	case PSKOnly:
		return "psk_ke"
	case PSKDHE:
		return "psk_dhe_ke"
	}
	return fmt.Sprintf("psk_mode(%d)", uint8(m))
}

// String gives "zlib", "brotli" or "zstd".
func (c CertCompression) String() string { return numberName(certCompressionNames, c) }

// ParseCertCompression is the reverse of CertCompression.String.
func ParseCertCompression(name string) (CertCompression, error) {
	return parseNumber(certCompressionByName, "certificate compression", "zlib, brotli or zstd", name)
}

// ParseVersion takes the names that Version.String gives, with or without the space, and "0x7f17".
func ParseVersion(name string) (Version, error) {
	switch strings.ReplaceAll(name, " ", "") {
	case "SSL2.0":
		return SSL20, nil
	case "SSL3.0":
		return SSL30, nil
	case "TLS1.0":
		return TLS10, nil
	case "TLS1.1":
		return TLS11, nil
	case "TLS1.2":
		return TLS12, nil
	case "TLS1.3":
		return TLS13, nil
	case GREASEName:
		return GREASEPlaceholder, nil
	}
	if hex, ok := strings.CutPrefix(name, "0x"); ok && len(hex) == 4 {
		if v, err := strconv.ParseUint(hex, 16, 16); err == nil {
			return Version(v), nil
		}
	}
	return 0, fmt.Errorf("unknown version %q: allowed are SSL 2.0, SSL 3.0, TLS 1.0, TLS 1.1, TLS 1.2, TLS 1.3, GREASE, or four hex digits like 0x7f17", name)
}

// String names the content type as RFC 8446 §5.1 spells it.
func (t RecordType) String() string {
	switch t {
	case RecordChangeCipherSpec:
		return "change_cipher_spec"
	case RecordAlert:
		return "alert"
	case RecordHandshake:
		return "handshake"
	case RecordApplicationData:
		return "application_data"
	case RecordHeartbeat:
		return "heartbeat"
	}
	return fmt.Sprintf("record_type(%d)", uint8(t))
}

// String names the message as the RFCs do ("ServerHelloDone").
func (t HandshakeType) String() string {
	if s, ok := handshakeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("handshake_type(%d)", uint8(t))
}

var handshakeNames = map[HandshakeType]string{
	TypeHelloRequest: "HelloRequest", TypeClientHello: "ClientHello", TypeServerHello: "ServerHello",
	TypeNewSessionTicket: "NewSessionTicket", TypeEndOfEarlyData: "EndOfEarlyData",
	TypeEncryptedExtensions: "EncryptedExtensions", TypeCertificate: "Certificate",
	TypeServerKeyExchange: "ServerKeyExchange", TypeCertificateRequest: "CertificateRequest",
	TypeServerHelloDone: "ServerHelloDone", TypeCertificateVerify: "CertificateVerify",
	TypeClientKeyExchange: "ClientKeyExchange", TypeFinished: "Finished",
	TypeCertificateStatus: "CertificateStatus", TypeKeyUpdate: "KeyUpdate",
	TypeCompressedCertificate: "CompressedCertificate", TypeNextProtocol: "NextProtocol",
	TypeMessageHash: "message_hash", TypeEncryptedExtensionsNPN: "EncryptedExtensions (Channel ID)",
}

// TypeEncryptedExtensionsNPN is the handshake message of the Channel ID draft, which Chrome of 2012-2015 sent.
const TypeEncryptedExtensionsNPN HandshakeType = 203

var (
	groupByName           = reverse(groupNames)
	schemeByName          = reverse(schemeNames)
	extensionByName       = reverse(extensionNames)
	certCompressionByName = reverse(certCompressionNames)
)

var certCompressionNames = map[CertCompression]string{CertZlib: "zlib", CertBrotli: "brotli", CertZstd: "zstd"}

var groupNames = map[Group]string{
	0x0001: "sect163k1", 0x0002: "sect163r1", 0x0003: "sect163r2", 0x0004: "sect193r1", 0x0005: "sect193r2",
	0x0006: "sect233k1", 0x0007: "sect233r1", 0x0008: "sect239k1", 0x0009: "sect283k1", 0x000a: "sect283r1",
	0x000b: "sect409k1", 0x000c: "sect409r1", 0x000d: "sect571k1", 0x000e: "sect571r1", 0x000f: "secp160k1",
	0x0010: "secp160r1", 0x0011: "secp160r2", 0x0012: "secp192k1", 0x0013: "secp192r1", 0x0014: "secp224k1",
	0x0015: "secp224r1", 0x0016: "secp256k1", 0x0017: "secp256r1", 0x0018: "secp384r1", 0x0019: "secp521r1",
	0x001a: "brainpoolP256r1", 0x001b: "brainpoolP384r1", 0x001c: "brainpoolP512r1", 0x001d: "x25519",
	0x001e: "x448", 0x001f: "brainpoolP256r1tls13", 0x0020: "brainpoolP384r1tls13", 0x0021: "brainpoolP512r1tls13",
	0x0029: "curveSM2", 0x0100: "ffdhe2048", 0x0101: "ffdhe3072", 0x0102: "ffdhe4096", 0x0103: "ffdhe6144",
	0x0104: "ffdhe8192", 0x0200: "MLKEM512", 0x0201: "MLKEM768", 0x0202: "MLKEM1024",
	0x11eb: "SecP256r1MLKEM768", 0x11ec: "X25519MLKEM768", 0x11ed: "SecP384r1MLKEM1024",
	0x4138: "CECPQ2", 0x6399: "X25519Kyber768Draft00", 0x639a: "SecP256r1Kyber768Draft00",
	0xff01: "arbitrary_explicit_prime_curves", 0xff02: "arbitrary_explicit_char2_curves",
}

var schemeNames = map[SignatureScheme]string{
	0x0101: "rsa_md5", 0x0102: "dsa_md5", 0x0201: "rsa_pkcs1_sha1", 0x0202: "dsa_sha1", 0x0203: "ecdsa_sha1",
	0x0301: "rsa_sha224", 0x0302: "dsa_sha224", 0x0303: "ecdsa_sha224",
	0x0401: "rsa_pkcs1_sha256", 0x0402: "dsa_sha256", 0x0403: "ecdsa_secp256r1_sha256",
	0x0420: "rsa_pkcs1_sha256_legacy",
	0x0501: "rsa_pkcs1_sha384", 0x0502: "dsa_sha384", 0x0503: "ecdsa_secp384r1_sha384",
	0x0520: "rsa_pkcs1_sha384_legacy",
	0x0601: "rsa_pkcs1_sha512", 0x0602: "dsa_sha512", 0x0603: "ecdsa_secp521r1_sha512",
	0x0620: "rsa_pkcs1_sha512_legacy", 0x0708: "sm2sig_sm3",
	0x0804: "rsa_pss_rsae_sha256", 0x0805: "rsa_pss_rsae_sha384", 0x0806: "rsa_pss_rsae_sha512",
	0x0807: "ed25519", 0x0808: "ed448",
	0x0809: "rsa_pss_pss_sha256", 0x080a: "rsa_pss_pss_sha384", 0x080b: "rsa_pss_pss_sha512",
	0x081a: "ecdsa_brainpoolP256r1tls13_sha256", 0x081b: "ecdsa_brainpoolP384r1tls13_sha384",
	0x081c: "ecdsa_brainpoolP512r1tls13_sha512",
	0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
}

var extensionNames = map[ExtensionType]string{
	0: "server_name", 1: "max_fragment_length", 2: "client_certificate_url", 3: "trusted_ca_keys",
	4: "truncated_hmac", 5: "status_request", 6: "user_mapping", 7: "client_authz", 8: "server_authz",
	9: "cert_type", 10: "supported_groups", 11: "ec_point_formats", 12: "srp", 13: "signature_algorithms",
	14: "use_srtp", 15: "heartbeat", 16: "application_layer_protocol_negotiation", 17: "status_request_v2",
	18: "signed_certificate_timestamp", 19: "client_certificate_type", 20: "server_certificate_type",
	21: "padding", 22: "encrypt_then_mac", 23: "extended_master_secret", 24: "token_binding",
	25: "cached_info", 26: "tls_lts", 27: "compress_certificate", 28: "record_size_limit", 29: "pwd_protect",
	30: "pwd_clear", 31: "password_salt", 32: "ticket_pinning", 33: "tls_cert_with_extern_psk",
	34: "delegated_credential", 35: "session_ticket", 36: "TLMSP", 37: "TLMSP_proxying",
	38: "TLMSP_delegate", 39: "supported_ekt_ciphers", 41: "pre_shared_key", 42: "early_data",
	43: "supported_versions", 44: "cookie", 45: "psk_key_exchange_modes", 47: "certificate_authorities",
	48: "oid_filters", 49: "post_handshake_auth", 50: "signature_algorithms_cert", 51: "key_share",
	52: "transparency_info", 54: "connection_id", 55: "external_id_hash", 56: "external_session_id",
	57: "quic_transport_parameters", 58: "ticket_request", 59: "dnssec_chain",
	13172: "next_protocol_negotiation", 17513: "application_settings", 17613: "application_settings_new",
	30031: "channel_id_old", 30032: "channel_id", 35655: "padding_pre_iana", 51764: "trust_anchors_draft",
	65037: "encrypted_client_hello", 65281: "renegotiation_info", 65445: "quic_transport_parameters_draft",
	65486: "encrypted_server_name",
}
