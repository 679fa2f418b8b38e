/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects that would keep a guest's memory encrypted: AMD's SEV and SEV-SNP, Intel's TDX. Nothing that launches such
 * a guest is built: they are known by their properties, and refused with what is missing first, the host's support or
 * ours. What is checked: that what the manual asks for is given, and that files are there.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bp/object.h>

struct sev {
    char *device, *dh_cert, *session;
    uint32_t cbitpos, reduced, policy, handle;
    bool kernel_hashes;
};
struct snp {
    char *device, *workarounds, *id_block, *id_auth, *host_data;
    uint32_t cbitpos, reduced;
    uint64_t policy;
    bool kernel_hashes, author_key, vcek_disabled;
};
struct tdx {
    uint64_t attributes;
    bool sept_ve_disable;
    char *mrconfigid, *mrowner, *mrownerconfig;
};

static int needs(const char *type, const char *key, uint32_t value, const char *example, struct bp_error *err)
{
    return value ? 0 : bp_fail(err, EINVAL, "%s: key '%s' is missing: it depends on the host's processor (%s)", type,
                               key, example);
}

static int needs_file(const char *type, const char *key, const char *path, struct bp_error *err)
{
    return !path || !*path || access(path, R_OK) == 0
               ? 0 : bp_fail(err, errno, "%s: %s='%s': %s", type, key, path, strerror(errno));
}

static int refuse(const char *type, const char *device, const char *what, struct bp_error *err)
{
    if (device && access(device, R_OK | W_OK) < 0)
        return bp_fail(err, errno, "%s: '%s' cannot be opened: %s; this host's processor or kernel has no %s", type,
                       device, strerror(errno), what);
    return bp_fail(err, ENOTSUP, "%s: guests with %s are not built", type, what);
}

static int complete_sev(struct bp_object *obj, struct bp_error *err)
{
    const struct sev *s = bp_object_state(obj);
    int r = needs("sev-guest", "cbitpos", s->cbitpos, "EPYC: cbitpos=47", err);

    if (r == 0)
        r = needs("sev-guest", "reduced-phys-bits", s->reduced, "EPYC: reduced-phys-bits=1", err);
    if (r == 0)
        r = needs_file("sev-guest", "dh-cert-file", s->dh_cert, err);
    if (r == 0)
        r = needs_file("sev-guest", "session-file", s->session, err);
    return r < 0 ? r : refuse("sev-guest", s->device, "Secure Encrypted Virtualization (SEV)", err);
}

static int complete_snp(struct bp_object *obj, struct bp_error *err)
{
    const struct snp *s = bp_object_state(obj);
    int r = needs("sev-snp-guest", "cbitpos", s->cbitpos, "EPYC: cbitpos=51", err);

    if (r == 0)
        r = needs("sev-snp-guest", "reduced-phys-bits", s->reduced, "EPYC: reduced-phys-bits=1", err);
    return r < 0 ? r : refuse("sev-snp-guest", s->device, "Secure Nested Paging (SEV-SNP)", err);
}

static int complete_tdx(struct bp_object *obj, struct bp_error *err)
{
    (void)obj;
    if (access("/sys/module/kvm_intel/parameters/tdx", R_OK) < 0)
        return bp_fail(err, ENOTSUP, "tdx-guest: this host's processor or kernel has no Trust Domain Extensions (TDX): "
                       "/sys/module/kvm_intel/parameters/tdx is not there");
    return refuse("tdx-guest", NULL, "Trust Domain Extensions (TDX)", err);
}

#define COMMON(STATE) \
    BP_PROP("sev-device", STRING, STATE, device, "/dev/sev", "device of the firmware in the secure processor"), \
    BP_PROP_RANGE("cbitpos", UINT32, STATE, cbitpos, "0", 0, 63, "bit of an address that marks a page as encrypted"), \
    BP_PROP_RANGE("reduced-phys-bits", UINT32, STATE, reduced, "0", 0, 63, "so many bits of addresses are lost"), \
    BP_PROP("kernel-hashes", BOOL, STATE, kernel_hashes, "off", "-kernel, -initrd and -append are measured")

static const struct bp_field sev_props[] = {
    COMMON(struct sev),
    BP_PROP("policy", UINT32, struct sev, policy, "0", "what the guest's owner lets others do with it"),
    BP_PROP("handle", UINT32, struct sev, handle, "0", "of a guest that it shares its key with"),
    BP_PROP("dh-cert-file", STRING, struct sev, dh_cert, NULL, "the owner's Diffie-Hellman key, in base64"),
    BP_PROP("session-file", STRING, struct sev, session, NULL, "parameters of the owner's session, in base64"),
    BP_FIELDS_END};
static const struct bp_field snp_props[] = {
    COMMON(struct snp),
    BP_PROP("policy", UINT64, struct snp, policy, "0x30000", "what the guest's owner lets others do with it"),
    BP_PROP("guest-visible-workarounds", STRING, struct snp, workarounds, NULL, "16 bytes in base64"),
    BP_PROP("id-block", STRING, struct snp, id_block, NULL, "96 bytes in base64: what is to be launched"),
    BP_PROP("id-auth", STRING, struct snp, id_auth, NULL, "4096 bytes in base64: who says so"),
    BP_PROP("author-key-enabled", BOOL, struct snp, author_key, "off", "id-auth has the author's key"),
    BP_PROP("vcek-disabled", BOOL, struct snp, vcek_disabled, "off", "the chip's own key is not used"),
    BP_PROP("host-data", STRING, struct snp, host_data, NULL, "32 bytes in base64, for the guest"), BP_FIELDS_END};
static const struct bp_field tdx_props[] = {
    BP_PROP("attributes", UINT64, struct tdx, attributes, "0", "of the trust domain"),
    BP_PROP("sept-ve-disable", BOOL, struct tdx, sept_ve_disable, "on", "no #VE for pages that are not accepted"),
    BP_PROP("mrconfigid", STRING, struct tdx, mrconfigid, NULL, "48 bytes in base64, measured"),
    BP_PROP("mrowner", STRING, struct tdx, mrowner, NULL, "48 bytes in base64, measured"),
    BP_PROP("mrownerconfig", STRING, struct tdx, mrownerconfig, NULL, "48 bytes in base64, measured"), BP_FIELDS_END};

#define GUEST(IDENT, NAME, SUMMARY, STATE, PROPS, COMPLETE) \
    BP_NOTE("provides=object:" NAME ";summary=" SUMMARY); \
    static const struct bp_object_class IDENT = { \
        .type = {.size = sizeof(struct bp_object_class), .name = NAME, .summary = SUMMARY, \
                 .state_size = sizeof(STATE), .props = PROPS}, \
        .complete = COMPLETE}

GUEST(sev_class, "sev-guest", "Guest whose memory is encrypted (AMD SEV)", struct sev, sev_props, complete_sev);
GUEST(snp_class, "sev-snp-guest", "Guest whose memory is encrypted (AMD SEV-SNP)", struct snp, snp_props, complete_snp);
GUEST(tdx_class, "tdx-guest", "Guest whose memory is encrypted (Intel TDX)", struct tdx, tdx_props, complete_tdx);

BP_MODULE("object-confidential", "Guests with encrypted memory", BP_NO_IMPORTS, {BP_PROVIDE_OBJECT, &sev_class},
          {BP_PROVIDE_OBJECT, &snp_class}, {BP_PROVIDE_OBJECT, &tdx_class});
