/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two kinds of endless rows. An exception during the delivery of one is seen by what was being delivered: RIP stays.
 * A #DB on the first instruction of its own handler (a breakpoint there, or on the stack that the delivery writes) is
 * seen by RIP: it stays too, and is where the descriptor table says. A debugger's breakpoint in a loop also comes at
 * one RIP again and again, so the table is looked at.
 */
#include "hv/exception_loop.h"

#include "hv/gmem.h"
#include "hv/gwalk.h"
#include "hv/vcpu.h"

#define CR0_PE   BIT(0)
#define EFER_LMA BIT(10)

#define SELECTOR_RPL 3u

/* Bytes of a descriptor table, as far as they can be read. */
static bool read_table(struct vcpu *vcpu, gva_t linear, uint8_t *bytes, unsigned size)
{
    struct gwalk_fault fault;
    gpa_t physical;

    for (unsigned i = 0; i < size; i++) {
        if (gwalk_translate(vcpu, linear + i, GWALK_IMPLICIT, &physical, &fault) != 0 ||
            gmem_read(vcpu->guest, physical, &bytes[i], 1) != 0)
            return false;
    }
    return true;
}

/*
 * Is CS:RIP the first instruction of a vector's handler? Intel SDM vol. 3, "IDT Descriptors", "64-Bit Mode IDT" and
 * "Interrupt and Exception Handling" in real-address mode, where an entry is offset and segment only.
 */
static bool at_handler(struct vcpu *vcpu, uint64_t rip, uint8_t vector)
{
    bool real = (vcpu_read(vcpu, VCPU_CR0) & CR0_PE) == 0;
    bool wide = (vcpu_read(vcpu, VCPU_EFER) & EFER_LMA) != 0;
    unsigned size = real ? 4 : wide ? 16 : 8;
    struct table_register table;
    struct segment_register cs;
    uint8_t gate[16] = {0}; /* what a shorter one does not have is zero */

    virt->read_table(vcpu, true, &table);
    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    if (!read_table(vcpu, table.base + (uint64_t)vector * size, gate, size))
        return false;
    uint64_t handler = gate[0] | (uint64_t)gate[1] << 8;
    uint16_t selector = (uint16_t)(gate[2] | gate[3] << 8);
    for (unsigned i = 6; i < 12; i++)
        handler |= real ? 0 : (uint64_t)gate[i] << (8 * (i - 4));
    return handler == rip && ((selector ^ cs.selector) & ~SELECTOR_RPL) == 0;
}

bool exception_loops(struct vcpu *vcpu, const struct vmexit *exit)
{
    struct exception_loop *loop = &vcpu->exception_loop;
    bool nested = vcpu->events.interrupted.type == EVENT_EXCEPTION;
    /* INT1 tells its length: the guest executes it each time. */
    bool suspect = nested || (exit->exception.vector == VECTOR_DB && exit->length == 0);

    loop->count = suspect && exit->rip == loop->rip ? loop->count + 1 : 0;
    loop->rip = exit->rip;
    if (loop->count < EXCEPTION_LOOP_MAX)
        return false;
    loop->count = 0;
    return nested || at_handler(vcpu, exit->rip, exit->exception.vector);
}
