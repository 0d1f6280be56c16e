"""Loops are found in machine code as nvdisasm prints it."""

from __future__ import annotations

from benchmarks.sass import busiest, loops

SASS = """
.text.kernel:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.64 R4, desc[UR4][R4.64] ;
.L_x_2:
        /*0020*/              @!P1 LDG.E.U8 R18, desc[UR4][R22.64+0x8] ;
        /*0030*/                   STG.E.64 desc[UR4][R20.64], R22 ;
        /*0040*/               @P0 BRA `(.L_x_2) ;
        /*0050*/              @!P2 BRA `(.L_x_3) ;
        /*0060*/                   BRA `(.L_x_1) ;
.L_x_3:
        /*0070*/                   LDS R2, [R3] ;
.L_x_4:
        /*0080*/                   IADD3 R2, R2, 0x1, RZ ;
        /*0090*/             @!UP0 BRA `(.L_x_4) ;
        /*00a0*/                   EXIT ;
"""


def test_the_loops_of_a_kernel() -> None:
    around, copying, counting = loops(SASS)
    assert around.names == ("LDG.E.64", *copying.names, "BRA", "BRA")
    assert copying.names == ("LDG.E.U8", "STG.E.64", "BRA") and counting.names == ("IADD3", "BRA")
    assert (copying.bytes("LDG"), copying.bytes("STG"), copying.count("LDG")) == (1, 8, 1)
    assert copying.widths("STG") == "1 × 64" and copying.widths("LDS") == "–"
    assert busiest([counting, around, copying], "STG") is copying
