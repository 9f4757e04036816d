/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fallible functions return 0 or one of these (errno-like, negative). The caller looks at every one.
 */
#ifndef HV_ERROR_H
#define HV_ERROR_H

enum error {
    E_NOENT = -2,   /* what was asked for is not there */
    E_NOMEM = -12,  /* a fixed table or the page pool is full */
    E_FAULT = -14,  /* an address is outside of what it should be in */
    E_BUSY = -16,   /* someone else has it */
    E_INVAL = -22,  /* the input breaks its format's rules */
    E_RANGE = -34,  /* a number is too small or too large */
    E_NOSYS = -38,  /* this processor, or Bulkhead, does not offer it */
    E_NOTYET = -95, /* a known form that is not supported */
};

#endif
