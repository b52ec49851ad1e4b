/* tls_provider.h - the signer, as a provider of OpenSSL: keys that know their public half and a name, and sign by asking (provider-keymgmt(7), provider-signature(7)).
 *
 * It has RSA, EC, Ed25519 and Ed448, to sign with, and RSA's decryption of premaster secrets.  Everything else stays the default provider's: public operations,
 * certificates, what clients show. */
#pragma once

void tls_provider_start(void); /* once in a process, before it has threads; later calls do nothing */

#define TLS_PROVIDER_QUERY "provider=ekirei"
#define TLS_PROVIDER_NAME  "ekirei-name" /* parameter of a key that is made: the private key's name */
