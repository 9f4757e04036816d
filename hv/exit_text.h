/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An exit in words, for a vCPU's trace.
 */
#ifndef HV_EXIT_TEXT_H
#define HV_EXIT_TEXT_H

#include "hv/types.h"
#include "hv/virt.h"

struct guest;

/*
 * Write where and why a guest exited into `text` of EXIT_TEXT_SIZE bytes:
 * "0xfff0  port 0x3f8 (uart): writes 1 byte (reason 0x7b)".
 */
#define EXIT_TEXT_SIZE 160u
void exit_text(const struct guest *guest, const struct vmexit *exit, char *text);

#endif
