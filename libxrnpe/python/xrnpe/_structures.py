# SPDX-License-Identifier: MIT
"""Structures and constants of xrnpe.h and drm/xrnpe_cmd.h, as ctypes has them.

Each class is the structure of its name in C, field by field; the test suite compares
sizes and offsets with what a C compiler says.
"""
from ctypes import (POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_float, c_int,
                    c_size_t, c_uint, c_uint32, c_uint64, c_void_p)

XRNPE_ERROR_SIZE = 2048
XRNPE_MAX_RANK = 8
XRNPE_TENSOR_RANK = 6
XRNPE_PRODUCT_FORMATS = 4
XRNPE_OPERANDS = 5
XRNPE_OPERATOR_ANY = 255
XRNPE_STATUS_INVALID = 1
XRNPE_FAULT_NONE = 0


class xrnpe_error(Structure):
    _fields_ = [("code", c_int), ("message", c_char * XRNPE_ERROR_SIZE)]


class xrnpe_array(Structure):
    _fields_ = [("rank", c_uint), ("dims", c_size_t * XRNPE_MAX_RANK), ("count", c_size_t),
                ("data", POINTER(c_float))]


class xrnpe_device_info(Structure):
    _fields_ = [("backend", c_char_p), ("path", c_char_p), ("driver", c_char_p),
                ("version", c_uint32), ("rows", c_uint32), ("cols", c_uint32),
                ("queues", c_uint32), ("max_cmds", c_uint32), ("max_regions", c_uint32),
                ("max_buffer_size", c_uint64), ("job_timeout_ms", c_uint32),
                ("threads", c_uint32), ("bus_bytes", c_uint32), ("sram_kib", c_uint32),
                ("clock_khz", c_uint32)]


class xrnpe_tensor_info(Structure):
    _fields_ = [("name", c_char_p), ("type", c_uint), ("rank", c_uint),
                ("dims", c_size_t * XRNPE_TENSOR_RANK), ("count", c_size_t)]


class xrnpe_layer_info(Structure):
    _fields_ = [("name", c_char_p), ("op", c_char_p), ("place", c_uint), ("why", c_char_p),
                ("rank", c_uint), ("dims", c_size_t * XRNPE_TENSOR_RANK), ("output", c_char_p),
                ("macs", c_uint64),
                ("format", c_uint), ("weight_format", c_uint), ("added_format", c_uint),
                ("out_format", c_uint),
                ("bytes", c_uint64), ("float_bytes", c_uint64), ("error", c_double),
                ("weight_error", c_double * XRNPE_PRODUCT_FORMATS),
                ("input_error", c_double * XRNPE_PRODUCT_FORMATS)]


class xrnpe_quality(Structure):
    _fields_ = [("error", c_double), ("spread", c_double), ("inputs", c_uint),
                ("unseen", c_bool)]


class xrnpe_task(Structure):
    _fields_ = [("classes", c_bool), ("score", c_double), ("float_score", c_double),
                ("loss", c_double), ("spread", c_double), ("inputs", c_uint)]


class xrnpe_trial(Structure):
    _fields_ = [("bytes", c_uint64), ("cycles", c_double), ("picojoules", c_double),
                ("quality", xrnpe_quality), ("task", xrnpe_task), ("best", c_bool),
                ("chosen", c_bool), ("carried", c_bool)]


class xrnpe_limits(Structure):
    _fields_ = [("bytes", c_uint64), ("cycles", c_double), ("picojoules", c_double),
                ("error", c_double), ("loss", c_double)]


class xrnpe_counters(Structure):
    _fields_ = [("cycles", c_uint64), ("stall_cycles", c_uint64), ("commands", c_uint64),
                ("blocks_active", c_uint64), ("blocks_gated", c_uint64),
                ("bytes", c_uint64 * XRNPE_OPERANDS), ("bytes_other", c_uint64),
                ("products", c_uint64 * XRNPE_PRODUCT_FORMATS * XRNPE_PRODUCT_FORMATS)]


class xrnpe_energy(Structure):
    _fields_ = [("product", c_double * XRNPE_PRODUCT_FORMATS * XRNPE_PRODUCT_FORMATS),
                ("gated_block", c_double), ("sram_byte", c_double), ("memory_byte", c_double),
                ("cycle", c_double), ("sharing", c_double)]


class xrnpe_cost(Structure):
    _fields_ = [("counters", xrnpe_counters), ("utilisation", c_double), ("seconds", c_double),
                ("picojoules", c_double)]


class xrnpe_fault(Structure):
    _fields_ = [("kind", c_uint32), ("cmd", c_uint32), ("operand", c_uint32),
                ("region", c_uint32), ("offset", c_uint64)]


class xrnpe_result(Structure):
    _fields_ = [("status", c_uint32), ("fault", xrnpe_fault), ("counters", xrnpe_counters),
                ("copied", c_uint64), ("cpu_seconds", c_double), ("point", c_uint)]


class xrnpe_footprint(Structure):
    _fields_ = [("constants", c_uint64), ("commands", c_uint64), ("arena", c_uint64),
                ("inputs", c_uint64), ("outputs", c_uint64), ("used_constants", c_uint64),
                ("own_constants", c_uint64), ("own_commands", c_uint64)]


class xrnpe_layout(Structure):
    _fields_ = [("format", c_uint), ("size", c_size_t), ("strides", c_size_t * XRNPE_TENSOR_RANK)]


class xrnpe_layer_profile(Structure):
    _fields_ = [("counters", xrnpe_counters), ("seconds", c_double)]


class xrnpe_session_options(Structure):
    _fields_ = [("priority", c_uint), ("energy", POINTER(xrnpe_energy))]


class xrnpe_governor(Structure):
    _fields_ = [("seconds", c_double), ("picojoules", c_double), ("error", c_double)]


class xrnpe_operator_info(Structure):
    _fields_ = [("name", c_char_p), ("min_inputs", c_uint), ("max_inputs", c_uint),
                ("max_outputs", c_uint), ("attributes", c_char_p)]


class xrnpe_shape(Structure):
    _fields_ = [("input", c_char_p), ("rank", c_uint), ("dims", c_size_t * XRNPE_TENSOR_RANK)]


class xrnpe_byte_input(Structure):
    _fields_ = [("input", c_char_p), ("planar", c_bool), ("channels", c_size_t),
                ("mean", POINTER(c_float)), ("scale", POINTER(c_float))]


class xrnpe_graph_options(Structure):
    _fields_ = [("shapes", POINTER(xrnpe_shape)), ("shape_count", c_size_t),
                ("outputs", POINTER(c_char_p)), ("output_count", c_size_t),
                ("bytes", POINTER(xrnpe_byte_input)), ("byte_count", c_size_t)]


class xrnpe_layer_formats(Structure):
    _fields_ = [("layer", c_char_p), ("weight", c_uint), ("input", c_uint), ("adds", c_bool),
                ("added", c_uint)]


class xrnpe_memory(Structure):
    _fields_ = [("data", c_void_p), ("size", c_uint64), ("flags", c_uint32)]
