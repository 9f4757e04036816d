/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * taskswitch.S and a virtual-8086 task: an image of its own, since an emulator gives up when such a guest exits.
 */
#define WITH_VIRTUAL_8086
#include "guests/taskswitch.S"
