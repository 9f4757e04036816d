/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All device models.
 */
#include "drivers/virtual/registry.h"

#include "drivers/virtual/vacpi.h"
#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vkeyboard.h"
#include "drivers/virtual/vlapic.h"
#include "drivers/virtual/vpci.h"
#include "drivers/virtual/vpic.h"
#include "drivers/virtual/vpit.h"
#include "drivers/virtual/vrtc.h"
#include "drivers/virtual/vsystem.h"
#include "drivers/virtual/vuart.h"
#include "drivers/virtual/vvga.h"
#include "hv/device.h"

#define MODEL(name) &v##name##_device,

const struct device_ops *const device_registry[] = {DEVICE_MODELS(MODEL) NULL};
