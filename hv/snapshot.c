/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three values a row, as wide as 80 columns allow; then a row for each segment and descriptor table.
 */
#include "hv/snapshot.h"

#include "hv/format.h"
#include "hv/vcpu.h"

#define VALUES        23u
#define VALUES_A_LINE 3u
#define VALUE_LINES   ((VALUES + VALUES_A_LINE - 1) / VALUES_A_LINE)
#define TABLES        2u

_Static_assert(SNAPSHOT_LINES == VALUE_LINES + SEGMENT_COUNT + TABLES, "all that there is");

void snapshot_take(struct vcpu *vcpu, struct snapshot *snapshot)
{
    for (unsigned i = 0; i < GPR_COUNT; i++)
        snapshot->gpr[i] = vcpu_gpr(vcpu, i);
    snapshot->rip = vcpu_read(vcpu, VCPU_RIP);
    snapshot->rflags = vcpu_read(vcpu, VCPU_RFLAGS);
    snapshot->cr0 = vcpu_read(vcpu, VCPU_CR0);
    snapshot->cr2 = vcpu_read(vcpu, VCPU_CR2);
    snapshot->cr3 = vcpu_read(vcpu, VCPU_CR3);
    snapshot->cr4 = vcpu_read(vcpu, VCPU_CR4);
    snapshot->efer = vcpu_read(vcpu, VCPU_EFER);
    for (unsigned i = 0; i < SEGMENT_COUNT; i++)
        virt->read_segment(vcpu, (enum segment)i, &snapshot->segments[i]);
    virt->read_table(vcpu, false, &snapshot->gdtr);
    virt->read_table(vcpu, true, &snapshot->idtr);
}

static struct snapshot_text values_line(const struct snapshot *snapshot, uint32_t number)
{
    static const char *const names[VALUES] = {"rip", "rflags", "efer", "cr0", "cr2", "cr3", "cr4", "rsp",
                                              "rbp", "rax",    "rbx",  "rcx", "rdx", "rsi", "rdi", "r8",
                                              "r9",  "r10",    "r11",  "r12", "r13", "r14", "r15"};
    const uint64_t *gpr = snapshot->gpr;
    const uint64_t values[VALUES] = {snapshot->rip, snapshot->rflags, snapshot->efer, snapshot->cr0, snapshot->cr2,
                                     snapshot->cr3, snapshot->cr4,    gpr[GPR_RSP],   gpr[GPR_RBP],  gpr[GPR_RAX],
                                     gpr[GPR_RBX],  gpr[GPR_RCX],     gpr[GPR_RDX],   gpr[GPR_RSI],  gpr[GPR_RDI],
                                     gpr[8],        gpr[9],           gpr[10],        gpr[11],       gpr[12],
                                     gpr[13],       gpr[14],          gpr[15]};
    struct snapshot_text line = {""};
    size_t length = 0;

    for (uint32_t i = number * VALUES_A_LINE; i < VALUES && i < (number + 1) * VALUES_A_LINE; i++)
        length += format_text(line.text + length, sizeof(line.text) - length, "%s%-6s %016llx", length == 0 ? "" : "  ",
                              names[i], (unsigned long long)values[i]);
    return line;
}

static struct snapshot_text table_line(const char *name, const struct table_register *table)
{
    struct snapshot_text line = {""};

    (void)format_text(line.text, sizeof(line.text), "%-9s  base %016llx  limit %08x", name,
                      (unsigned long long)table->base, table->limit);
    return line;
}

struct snapshot_text snapshot_line(const struct snapshot *snapshot, uint32_t number)
{
    static const char *const names[SEGMENT_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    struct snapshot_text line = {""};

    if (number < VALUE_LINES)
        return values_line(snapshot, number);
    number -= VALUE_LINES;
    if (number >= SEGMENT_COUNT)
        return number == SEGMENT_COUNT ? table_line("gdtr", &snapshot->gdtr) : table_line("idtr", &snapshot->idtr);
    const struct segment_register *segment = &snapshot->segments[number];
    (void)format_text(line.text, sizeof(line.text), "%-4s %04x  base %016llx  limit %08x  attributes %05x",
                      names[number], segment->selector, (unsigned long long)segment->base, segment->limit,
                      segment->attributes);
    return line;
}
