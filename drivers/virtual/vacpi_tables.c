/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables, in the form of ACPI 6.4. Each is written behind the last, at the next multiple of 64 bytes (which
 * the FACS needs), and the roots point at them at the end.
 */
#include "drivers/virtual/vacpi_tables.h"

#include "drivers/virtual/vacpi.h"
#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vlapic.h"
#include "hv/guest.h"
#include "hv/string.h"

/* What iasl made of dsdt.asl: an array named dsdt_aml_code. */
static const
#include "dsdt.hex"

#define OEM_ID       "BULKHD"
#define OEM_TABLE_ID "BULKHEAD"
#define OEM_REVISION 1u
#define CREATOR_ID   "BLKH"

    /* ACPI 6.4, section 5.2.6 "System Description Table Header" */
    struct PACKED acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
};
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4, section 5.2.6");

/* Section 5.2.5.3 "Root System Description Pointer (RSDP) Structure" */
struct PACKED acpi_rsdp {
    char signature[8];
    uint8_t checksum; /* of the first 20 bytes */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
};
_Static_assert(offsetof(struct acpi_rsdp, length) == 20, "ACPI 6.4, section 5.2.5.3");
_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 6.4, section 5.2.5.3");

/* Section 5.2.3.2 "Generic Address Structure" */
struct PACKED acpi_address {
    uint8_t space;
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t access_size;
    uint64_t address;
};
#define ADDRESS_SPACE_IO 1u
#define ACCESS_BYTE      1u
#define ACCESS_WORD      2u
#define ACCESS_DWORD     3u

/* Section 5.2.9 "Fixed ACPI Description Table (FADT)" */
struct PACKED acpi_fadt {
    struct acpi_header header;
    uint32_t facs;
    uint32_t dsdt;
    uint8_t reserved0;
    uint8_t preferred_profile;
    uint16_t sci_interrupt;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
    uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
    uint8_t gpe0_length, gpe1_length, gpe1_base, cstate_control;
    uint16_t c2_latency_us, c3_latency_us, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_architecture;
    uint8_t reserved1;
    uint32_t flags;
    struct acpi_address reset_register;
    uint8_t reset_value;
    uint16_t arm_boot_architecture;
    uint8_t minor_version;
    uint64_t x_facs, x_dsdt;
    struct acpi_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0,
        x_gpe1, sleep_control, sleep_status;
    char hypervisor_vendor[8];
};
_Static_assert(offsetof(struct acpi_fadt, pm1a_event) == 56, "ACPI 6.4, section 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, century) == 108, "ACPI 6.4, section 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI 6.4, section 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, x_facs) == 132, "ACPI 6.4, section 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, hypervisor_vendor) == 268, "ACPI 6.4, section 5.2.9");
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.4, section 5.2.9");

#define FADT_REVISION 6u
#define FADT_MINOR    4u

/* Table "Fixed ACPI Description Table Fixed Feature Flags". The power button is fixed hardware: its bit stays clear. */
#define FADT_WBINVD         BIT(0)
#define FADT_PROC_C1        BIT(2)
#define FADT_NO_SLEEP_KEY   BIT(5) /* SLP_BUTTON: none in the fixed hardware */
#define FADT_NO_FIXED_ALARM BIT(6) /* FIX_RTC: an alarm of the clock does not wake */
#define FADT_TIMER_32_BIT   BIT(8)
#define FADT_RESET_REGISTER BIT(10)

/* "IA-PC Boot Architecture Flags": there are legacy devices; VGA may be looked for; no 8042 (it has no keyboard, so do
 * not wait for one). */
#define BOOT_LEGACY_DEVICES BIT(0)

/* Latencies above these say: no such state. Section 5.2.9, P_LVL2_LAT and P_LVL3_LAT. */
#define NO_C2_LATENCY_US 101u
#define NO_C3_LATENCY_US 1001u

#define RTC_CENTURY_REGISTER 0x32u

/* Section 5.2.10 "Firmware ACPI Control Structure (FACS)" */
struct PACKED acpi_facs {
    char signature[4];
    uint32_t length;
    uint32_t hardware_signature;
    uint32_t waking_vector;
    uint32_t global_lock;
    uint32_t flags;
    uint64_t x_waking_vector;
    uint8_t version;
    uint8_t reserved[31];
};
_Static_assert(sizeof(struct acpi_facs) == 64, "ACPI 6.4, section 5.2.10");
#define FACS_VERSION 2u

/* Section 5.2.12 "Multiple APIC Description Table (MADT)" */
struct PACKED acpi_madt {
    struct acpi_header header;
    uint32_t lapic_address;
    uint32_t flags;
};
_Static_assert(sizeof(struct acpi_madt) == 44, "ACPI 6.4, section 5.2.12");
#define MADT_REVISION    5u
#define MADT_PCAT_COMPAT BIT(0) /* there is an 8259 pair as well */

struct PACKED madt_lapic {
    uint8_t type, length, processor_uid, apic_id;
    uint32_t flags;
};
struct PACKED madt_ioapic {
    uint8_t type, length, id, reserved;
    uint32_t address, interrupt_base;
};
struct PACKED madt_override {
    uint8_t type, length, bus, source;
    uint32_t interrupt;
    uint16_t flags;
};
struct PACKED madt_lapic_nmi {
    uint8_t type, length, processor_uid;
    uint16_t flags;
    uint8_t lint;
};
_Static_assert(sizeof(struct madt_lapic) == 8 && sizeof(struct madt_ioapic) == 12, "ACPI 6.4, section 5.2.12");
_Static_assert(sizeof(struct madt_override) == 10 && sizeof(struct madt_lapic_nmi) == 6, "ACPI 6.4, section 5.2.12");

enum madt_type {
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_NMI = 4,
};
#define MADT_LAPIC_ENABLED  BIT(0)
#define MADT_ALL_PROCESSORS 0xffu
#define INTI_BUS_DEFAULT    0x0u
/*
 * The SCI is an edge here, active high, where ACPI's default is a level: an edge needs no EOI to be heard of, so that a
 * guest may one day own its local APIC. The model raises it anew whenever the guest has cleared some, but not all of
 * its reasons.
 */
#define INTI_HIGH_EDGE 0x5u

/* Where the next table goes: a window on the image. */
struct writer {
    uint8_t *bytes;
    uint64_t used;
};

static void *table_begin(struct writer *writer, uint64_t *address)
{
    writer->used = ALIGN_UP(writer->used, 64);
    *address = VACPI_TABLES_BASE + writer->used;
    return writer->bytes + writer->used;
}

static void header_fill(struct acpi_header *header, const char *signature, uint8_t revision, size_t length)
{
    memcpy(header->signature, signature, sizeof(header->signature));
    header->length = (uint32_t)length;
    header->revision = revision;
    header->checksum = 0;
    memcpy(header->oem_id, OEM_ID, sizeof(header->oem_id));
    memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof(header->oem_table_id));
    header->oem_revision = OEM_REVISION;
    memcpy(header->creator_id, CREATOR_ID, sizeof(header->creator_id));
    header->creator_revision = 1;
}

static void table_end(struct writer *writer, struct acpi_header *header)
{
    header->checksum = vacpi_checksum(header, header->length);
    writer->used += header->length;
}

uint8_t vacpi_checksum(const void *bytes, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
    return (uint8_t)(0 - sum);
}

static uint64_t write_facs(struct writer *writer)
{
    uint64_t address;
    struct acpi_facs *facs = table_begin(writer, &address);

    memcpy(facs->signature, "FACS", sizeof(facs->signature));
    facs->length = sizeof(*facs);
    facs->version = FACS_VERSION;
    writer->used += sizeof(*facs);
    return address;
}

static uint64_t write_dsdt(struct writer *writer)
{
    uint64_t address;
    void *dsdt = table_begin(writer, &address);

    memcpy(dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));
    writer->used += sizeof(dsdt_aml_code);
    return address;
}

static struct acpi_address io_address(uint32_t port, uint8_t bits, uint8_t access_size)
{
    return (struct acpi_address){
        .space = ADDRESS_SPACE_IO,
        .bit_width = bits,
        .access_size = access_size,
        .address = port,
    };
}

static uint64_t write_fadt(struct writer *writer, uint64_t facs, uint64_t dsdt)
{
    uint64_t address;
    struct acpi_fadt *fadt = table_begin(writer, &address);

    header_fill(&fadt->header, "FACP", FADT_REVISION, sizeof(*fadt));
    fadt->facs = (uint32_t)facs; /* x_facs stays 0: only one of them may be set */
    fadt->dsdt = (uint32_t)dsdt;
    fadt->x_dsdt = dsdt;
    fadt->sci_interrupt = IRQ_SCI;
    fadt->pm1a_event = VACPI_PM1_STATUS; /* smi_command 0: always in ACPI mode */
    fadt->pm1a_control = VACPI_PM1_CONTROL;
    fadt->pm_timer = VACPI_PM_TIMER;
    fadt->pm1_event_length = 4;
    fadt->pm1_control_length = 2;
    fadt->pm_timer_length = 4;
    fadt->c2_latency_us = NO_C2_LATENCY_US;
    fadt->c3_latency_us = NO_C3_LATENCY_US;
    fadt->century = RTC_CENTURY_REGISTER;
    fadt->boot_architecture = BOOT_LEGACY_DEVICES;
    fadt->flags =
        FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_KEY | FADT_NO_FIXED_ALARM | FADT_TIMER_32_BIT | FADT_RESET_REGISTER;
    fadt->reset_register = io_address(VACPI_RESET_PORT, 8, ACCESS_BYTE);
    fadt->reset_value = VACPI_RESET_VALUE;
    fadt->minor_version = FADT_MINOR;
    fadt->x_pm1a_event = io_address(VACPI_PM1_STATUS, 32, ACCESS_WORD);
    fadt->x_pm1a_control = io_address(VACPI_PM1_CONTROL, 16, ACCESS_WORD);
    fadt->x_pm_timer = io_address(VACPI_PM_TIMER, 32, ACCESS_DWORD);
    memcpy(fadt->hypervisor_vendor, "BULKHEAD", sizeof(fadt->hypervisor_vendor));
    table_end(writer, &fadt->header);
    return address;
}

static uint8_t *write_override(uint8_t *at, uint8_t source, uint32_t interrupt, uint16_t flags)
{
    struct madt_override override = {MADT_OVERRIDE, sizeof(override), 0, source, interrupt, flags};

    memcpy(at, &override, sizeof(override));
    return at + sizeof(override);
}

static uint64_t write_madt(struct writer *writer, const struct guest *guest)
{
    uint64_t address;
    struct acpi_madt *madt = table_begin(writer, &address);
    uint8_t *at = (uint8_t *)(madt + 1);

    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        struct madt_lapic lapic = {MADT_LAPIC, sizeof(lapic), (uint8_t)i, (uint8_t)i, MADT_LAPIC_ENABLED};
        memcpy(at, &lapic, sizeof(lapic));
        at += sizeof(lapic);
    }
    struct madt_ioapic ioapic = {MADT_IOAPIC, sizeof(ioapic), vioapic_id(guest), 0, (uint32_t)VIOAPIC_BASE, 0};
    memcpy(at, &ioapic, sizeof(ioapic));
    at += sizeof(ioapic);
    at = write_override(at, IRQ_PIT, VIOAPIC_PIT_PIN, INTI_BUS_DEFAULT);
    at = write_override(at, IRQ_SCI, IRQ_SCI, INTI_HIGH_EDGE);
    struct madt_lapic_nmi nmi = {MADT_LAPIC_NMI, sizeof(nmi), MADT_ALL_PROCESSORS, INTI_BUS_DEFAULT, 1};
    memcpy(at, &nmi, sizeof(nmi));
    at += sizeof(nmi);

    header_fill(&madt->header, "APIC", MADT_REVISION, (size_t)(at - (uint8_t *)madt));
    madt->lapic_address = (uint32_t)VLAPIC_BASE;
    madt->flags = (uint32_t)MADT_PCAT_COMPAT;
    table_end(writer, &madt->header);
    return address;
}

/* One processor in AML: Device (Cxx) { Name (_HID, "ACPI0007") Name (_UID, xx) }. ACPI 6.4, section 20.2 "AML Grammar
 * Definition". */
struct PACKED aml_processor {
    uint8_t device_operator[2];
    uint8_t package_length; /* from here to the end */
    char name[4];
    uint8_t hid_operator;
    char hid_name[4];
    uint8_t hid_prefix;
    char hid[9];
    uint8_t uid_operator;
    char uid_name[4];
    uint8_t uid_prefix;
    uint8_t uid;
};
_Static_assert(sizeof(struct aml_processor) - 2 < 64, "the package length has one byte");

struct PACKED aml_scope {
    uint8_t scope_operator;
    uint8_t package_length[2]; /* from here to the end: the low four bits and a mark, then eight more */
    char name[5];
};

#define AML_NAME            0x08u
#define AML_BYTE            0x0au
#define AML_STRING          0x0du
#define AML_SCOPE           0x10u
#define AML_TWO_BYTE_LENGTH 0x40u

static uint64_t write_ssdt(struct writer *writer, const struct guest *guest)
{
    static const char digits[] = "0123456789ABCDEF";
    uint64_t address;
    struct acpi_header *ssdt = table_begin(writer, &address);
    struct aml_scope *scope = (struct aml_scope *)(ssdt + 1);
    struct aml_processor *processor = (struct aml_processor *)(scope + 1);
    size_t aml_size = sizeof(*scope) + guest->vcpu_count * sizeof(*processor);
    size_t package_length = aml_size - 1;

    *scope = (struct aml_scope){
        AML_SCOPE,
        {(uint8_t)(AML_TWO_BYTE_LENGTH | (package_length & 0xf)), (uint8_t)(package_length >> 4)},
        {'\\', '_', 'S', 'B', '_'},
    };
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        processor[i] = (struct aml_processor){
            {0x5b, 0x82},
            (uint8_t)(sizeof(*processor) - 2),
            {'C', '0', digits[i >> 4 & 0xf], digits[i & 0xf]},
            AML_NAME,
            {'_', 'H', 'I', 'D'},
            AML_STRING,
            "ACPI0007",
            AML_NAME,
            {'_', 'U', 'I', 'D'},
            AML_BYTE,
            (uint8_t)i,
        };
    }
    header_fill(ssdt, "SSDT", 2, sizeof(*ssdt) + aml_size);
    table_end(writer, ssdt);
    return address;
}

static uint64_t write_root(struct writer *writer, bool wide, const uint64_t *tables, unsigned count)
{
    uint64_t address;
    struct acpi_header *root = table_begin(writer, &address);
    uint8_t *entries = (uint8_t *)(root + 1);
    size_t entry_size = wide ? sizeof(uint64_t) : sizeof(uint32_t);

    for (unsigned i = 0; i < count; i++)
        memcpy(entries + i * entry_size, &tables[i], entry_size); /* little-endian: the low half comes first */
    header_fill(root, wide ? "XSDT" : "RSDT", 1, sizeof(*root) + count * entry_size);
    table_end(writer, root);
    return address;
}

void vacpi_build_tables(const struct guest *guest, uint8_t tables[VACPI_TABLES_SIZE], uint8_t root[VACPI_ROOT_SIZE])
{
    struct writer writer = {tables, 0};
    struct acpi_rsdp *rsdp = (struct acpi_rsdp *)root;
    uint64_t listed[3];

    memset(tables, 0, VACPI_TABLES_SIZE);
    uint64_t facs = write_facs(&writer);
    uint64_t dsdt = write_dsdt(&writer);
    listed[0] = write_fadt(&writer, facs, dsdt);
    listed[1] = write_madt(&writer, guest);
    listed[2] = write_ssdt(&writer, guest);
    *rsdp = (struct acpi_rsdp){
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .revision = 2,
        .rsdt = (uint32_t)write_root(&writer, false, listed, ARRAY_SIZE(listed)),
        .length = sizeof(*rsdp),
        .xsdt = write_root(&writer, true, listed, ARRAY_SIZE(listed)),
    };
    memcpy(rsdp->oem_id, OEM_ID, sizeof(rsdp->oem_id));
    rsdp->checksum = vacpi_checksum(rsdp, offsetof(struct acpi_rsdp, length));
    rsdp->extended_checksum = vacpi_checksum(rsdp, sizeof(*rsdp));
}

/* All but the DSDT have a size that the limits bound; this leaves the room for them. */
_Static_assert(sizeof(dsdt_aml_code) < VACPI_TABLES_SIZE - KIB(4), "the tables fit");
