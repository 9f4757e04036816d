/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the hypervisor's own memory lies: chosen before anything else, because everything else needs it.
 */
#ifndef BOOT_PLACE_H
#define BOOT_PLACE_H

#include "hv/boot_info.h"
#include "hv/types.h"

#define PLACE_POOL_MIN MIB(4)

struct boot_places {
    hpa_t image_base; /* what the loader has filled */
    uint64_t image_size;
    hpa_t pool_base; /* page tables, control blocks, stacks, model state */
    uint64_t pool_size;
    hpa_t low_page; /* below 640 KiB, for the trampoline */
};

/*
 * Choose all but the image's place, which the caller has filled in, from the memory map: clear of image and modules,
 * below 4 GiB, as high as possible so that guests get what is left in one piece. The pool has room for tables that map
 * all RAM to guests in pages of `stage2_page` bytes, or is as large as memory below 4 GiB allows. Returns 0 or E_NOMEM.
 */
int place_choose(const struct boot_info *info, uint64_t stage2_page, struct boot_places *places);

#endif
