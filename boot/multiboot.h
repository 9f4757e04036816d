/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two boot protocols, turned into struct boot_info.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "hv/boot_info.h"

/*
 * Read what the loader left behind `information` (a host-physical address), by the `magic` it passed in EAX. Runs on
 * the start-up page tables, which reach the first 4 GiB. Returns 0, or E_INVAL when the magic is of neither protocol.
 */
int multiboot_parse(uint32_t magic, uint32_t information, struct boot_info *info);

#endif
