# SPDX-License-Identifier: BSD-2-Clause
# The guests' DSDT: compiled by iasl into an array that vacpi_tables.c includes. Warnings are errors.
$(BUILD)/dsdt.hex: drivers/virtual/dsdt.asl
	@mkdir -p $(@D)
	@iasl -we -vs -p $(@D)/dsdt -tc $< > $(@D)/dsdt.log 2>&1 || { cat $(@D)/dsdt.log; exit 1; }
