/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * corners.S and what one of the emulators gets wrong by itself.
 */
#define STRICT
#include "guests/corners.S"
