# SPDX-License-Identifier: MIT
# For makefiles of Backplane modules (GNU make):
#
#     BACKPLANE_MODULE = my-card
#     include $(shell pkg-config --variable=makefragment backplane)
#
# builds my-card.so from my-card.c; `make check` runs test-my-card.c (if there is one) on the fake
# host, and `backplane-module check`; `make install` puts the module where the emulator looks.
# To be set before the include, if the defaults do not fit:
#   BACKPLANE_SOURCES      C or C++ files of the module       (MODULE.c)
#   BACKPLANE_TEST         source of its test; empty: none     (test-MODULE.c, if it is there)
#   BACKPLANE_MODULEDIR    where it is installed               (the emulator's own directory)
#   CFLAGS, LDFLAGS, LDLIBS, DESTDIR, PKG_CONFIG               as usual
# The module and the programs go to BACKPLANE_OUT (.).

ifndef BACKPLANE_MODULE
$(error set BACKPLANE_MODULE to the name of the module before including backplane.mk)
endif

PKG_CONFIG ?= pkg-config
BACKPLANE_OUT ?= .
BACKPLANE_SOURCES ?= $(BACKPLANE_MODULE).c
BACKPLANE_TEST ?= $(wildcard test-$(BACKPLANE_MODULE).c)
BACKPLANE_MODULEDIR ?= $(bp_moduledir)
CFLAGS ?= -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
CXXFLAGS ?= $(CFLAGS)

bp_cflags := $(shell $(PKG_CONFIG) --cflags backplane)
bp_libs := $(shell $(PKG_CONFIG) --libs backplane)
bp_moduledir := $(shell $(PKG_CONFIG) --variable=moduledir backplane)
bp_libdir := $(shell $(PKG_CONFIG) --variable=lib backplane)
bp_tool := $(shell $(PKG_CONFIG) --variable=moduletool backplane)

ifeq ($(bp_cflags)$(bp_libs),)
$(error pkg-config does not find backplane; install its development files, or set PKG_CONFIG_PATH)
endif

bp_so := $(BACKPLANE_OUT)/$(BACKPLANE_MODULE).so
bp_test := $(BACKPLANE_OUT)/test-$(BACKPLANE_MODULE)
# A library that the dynamic linker does not know by itself is found all the same.
bp_run = LD_LIBRARY_PATH="$(bp_libdir)$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}"
bp_cxx := $(filter %.cc %.cpp %.cxx,$(BACKPLANE_SOURCES))
# C++ sources are compiled and linked by the C++ compiler.
bp_build = $(if $(bp_cxx),$(CXX) $(CXXFLAGS) -std=c++20,$(CC) $(CFLAGS) -std=gnu11)

.PHONY: all check install clean
all: $(bp_so)

$(bp_so): $(BACKPLANE_SOURCES) | $(BACKPLANE_OUT)
	$(bp_build) $(CPPFLAGS) -fPIC -fvisibility=hidden $(bp_cflags) -shared $(LDFLAGS) -o $@ \
		$(BACKPLANE_SOURCES) -Wl,--no-undefined $(bp_libs) $(LDLIBS)

ifneq ($(BACKPLANE_OUT),.)
$(BACKPLANE_OUT):
	mkdir -p $@
else
.PHONY: .
endif

ifneq ($(BACKPLANE_TEST),)
$(bp_test): $(BACKPLANE_TEST) | $(BACKPLANE_OUT)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(shell $(PKG_CONFIG) --cflags backplane-fakehost) $(LDFLAGS) -o $@ \
		$(BACKPLANE_TEST) $(shell $(PKG_CONFIG) --libs backplane-fakehost) $(LDLIBS)

check: $(bp_test)
endif
check: all
	$(if $(BACKPLANE_TEST),$(bp_run) $(bp_test) $(abspath $(bp_so)) $(bp_moduledir))
	$(bp_run) $(bp_tool) check $(abspath $(bp_so))

install: all
	install -D -m 644 $(bp_so) $(DESTDIR)$(BACKPLANE_MODULEDIR)/$(BACKPLANE_MODULE).so
	$(if $(DESTDIR),,$(bp_run) $(bp_tool) index $(BACKPLANE_MODULEDIR))

clean:
	rm -f $(bp_so) $(bp_test)
