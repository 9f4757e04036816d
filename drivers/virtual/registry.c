/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All device models, in the order in which a guest gets them: interrupt controllers before those that interrupt.
 */
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

const struct device_ops *const device_registry[] = {
    &vlapic_device,    &vioapic_device, &vpic_device, &vpit_device, &vrtc_device,  &vuart_device,
    &vkeyboard_device, &vsystem_device, &vvga_device, &vpci_device, &vacpi_device, NULL,
};
