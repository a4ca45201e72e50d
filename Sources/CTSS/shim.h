#ifndef CASEMATE_TSS_H
#define CASEMATE_TSS_H
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

/* The library's constants are macros with casts, and its templates unions of unions: both are plain only from C. */

static const ESYS_TR casemate_tss_none = ESYS_TR_NONE;
static const ESYS_TR casemate_tss_password = ESYS_TR_PASSWORD;
static const ESYS_TR casemate_tss_owner = ESYS_TR_RH_OWNER;
static const ESYS_TR casemate_tss_null = ESYS_TR_RH_NULL;

enum {
    casemate_tss_initialize = TPM2_RC_INITIALIZE,
    casemate_tss_failure = TPM2_RC_FAILURE,
    casemate_tss_exclusive = TPM2_RC_EXCLUSIVE,
    casemate_tss_nv_uninitialized = TPM2_RC_NV_UNINITIALIZED,
    casemate_tss_nv_space = TPM2_RC_NV_SPACE,
    casemate_tss_nv_defined = TPM2_RC_NV_DEFINED,
    casemate_tss_nv_rate = TPM2_RC_NV_RATE,
    casemate_tss_lockout = TPM2_RC_LOCKOUT,
    casemate_tss_handle = TPM2_RC_HANDLE,
    casemate_tss_auth_fail = TPM2_RC_AUTH_FAIL,
    casemate_tss_bad_auth = TPM2_RC_BAD_AUTH,
    casemate_tss_policy_fail = TPM2_RC_POLICY_FAIL,
    casemate_tss_integrity = TPM2_RC_INTEGRITY,
    casemate_tss_response_forged = TSS2_ESYS_RC_RSP_AUTH_FAILED,
};

enum {
    casemate_tss_keep = TPMA_SESSION_CONTINUESESSION,
    casemate_tss_decrypt = TPMA_SESSION_DECRYPT,
    casemate_tss_encrypt = TPMA_SESSION_ENCRYPT,
    casemate_tss_audit = TPMA_SESSION_AUDIT,
    casemate_tss_audit_exclusive = TPMA_SESSION_AUDITEXCLUSIVE,
    casemate_tss_audit_reset = TPMA_SESSION_AUDITRESET,
};

enum {
    casemate_tss_trial = TPM2_SE_TRIAL,
    casemate_tss_hmac = TPM2_SE_HMAC,
    casemate_tss_policy = TPM2_SE_POLICY,
};

enum {
    casemate_tss_policy_auth_value = TPM2_CC_PolicyAuthValue,
    casemate_tss_policy_command_code = TPM2_CC_PolicyCommandCode,
    casemate_tss_nv_change_auth = TPM2_CC_NV_ChangeAuth,
};

enum {
    casemate_tss_nv_first = TPM2_NV_INDEX_FIRST,
    casemate_tss_nv_last = TPM2_NV_INDEX_LAST,
    /* Read and written by who knows the index's own secret, and by nobody else: not by the TPM's owner either. That
     * secret has full entropy, so wrong ones are no reason to lock anything. */
    casemate_tss_nv_attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA,
    casemate_tss_nv_written = TPMA_NV_WRITTEN,
};

enum {
    casemate_tss_fixed = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT,
    casemate_tss_user_with_auth = TPMA_OBJECT_USERWITHAUTH,
    casemate_tss_no_da = TPMA_OBJECT_NODA,
    casemate_tss_registers = 24,
};

/* What parameters are encrypted with in sessions: every TPM 2.0 has it. */
static inline TPMT_SYM_DEF casemate_tss_session_cipher(void) {
    TPMT_SYM_DEF cipher = {.algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};
    return cipher;
}

/* A storage key on NIST P-256: a parent for objects, and what session secrets are agreed with. */
static inline TPM2B_PUBLIC casemate_tss_storage_key(void) {
    TPM2B_PUBLIC key;
    memset(&key, 0, sizeof key);
    TPMT_PUBLIC *area = &key.publicArea;
    area->type = TPM2_ALG_ECC;
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                             TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                             TPMA_OBJECT_DECRYPT;
    area->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES;
    area->parameters.eccDetail.symmetric.keyBits.aes = 128;
    area->parameters.eccDetail.symmetric.mode.aes = TPM2_ALG_CFB;
    area->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
    area->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
    area->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    return key;
}

/* A sealed secret; `policy` and `unique` have 32 bytes where they are not NULL. */
static inline TPM2B_PUBLIC casemate_tss_sealed(uint32_t attributes, const uint8_t *policy, const uint8_t *unique) {
    TPM2B_PUBLIC object;
    memset(&object, 0, sizeof object);
    TPMT_PUBLIC *area = &object.publicArea;
    area->type = TPM2_ALG_KEYEDHASH;
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = attributes;
    area->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
    if (policy) {
        area->authPolicy.size = TPM2_SHA256_DIGEST_SIZE;
        memcpy(area->authPolicy.buffer, policy, TPM2_SHA256_DIGEST_SIZE);
    }
    if (unique) {
        area->unique.keyedHash.size = TPM2_SHA256_DIGEST_SIZE;
        memcpy(area->unique.keyedHash.buffer, unique, TPM2_SHA256_DIGEST_SIZE);
    }
    return object;
}

/* Whether the TPM made what was asked for; then its identity goes to `unique`, which has 32 bytes. */
static inline int casemate_tss_is_sealed(const TPM2B_PUBLIC *made, const TPM2B_PUBLIC *asked, uint8_t *unique) {
    const TPMT_PUBLIC *area = &made->publicArea, *wanted = &asked->publicArea;
    if (area->type != wanted->type || area->nameAlg != wanted->nameAlg ||
        area->objectAttributes != wanted->objectAttributes || area->authPolicy.size != wanted->authPolicy.size ||
        memcmp(area->authPolicy.buffer, wanted->authPolicy.buffer, wanted->authPolicy.size) != 0 ||
        area->parameters.keyedHashDetail.scheme.scheme != TPM2_ALG_NULL ||
        area->unique.keyedHash.size != TPM2_SHA256_DIGEST_SIZE)
        return 0;
    memcpy(unique, area->unique.keyedHash.buffer, TPM2_SHA256_DIGEST_SIZE);
    return 1;
}

/* The platform registers of the mask, of their SHA-256 bank. */
static inline TPML_PCR_SELECTION casemate_tss_selection(uint32_t mask) {
    TPML_PCR_SELECTION selection;
    memset(&selection, 0, sizeof selection);
    selection.count = 1;
    selection.pcrSelections[0].hash = TPM2_ALG_SHA256;
    selection.pcrSelections[0].sizeofSelect = 3;
    for (int index = 0; index < 3; index++)
        selection.pcrSelections[0].pcrSelect[index] = (uint8_t)(mask >> (8 * index));
    return selection;
}

static inline TPM2B_NV_PUBLIC casemate_tss_nv_index(uint32_t index, uint32_t attributes, const uint8_t *policy,
                                                    uint16_t policy_bytes, uint16_t data_bytes) {
    TPM2B_NV_PUBLIC found;
    memset(&found, 0, sizeof found);
    found.nvPublic.nvIndex = index;
    found.nvPublic.nameAlg = TPM2_ALG_SHA256;
    found.nvPublic.attributes = attributes;
    if (policy_bytes <= sizeof found.nvPublic.authPolicy.buffer) {
        found.nvPublic.authPolicy.size = policy_bytes;
        memcpy(found.nvPublic.authPolicy.buffer, policy, policy_bytes);
    }
    found.nvPublic.dataSize = data_bytes;
    return found;
}
#endif
