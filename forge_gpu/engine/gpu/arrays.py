"""The arrays of decisions on a device."""

from __future__ import annotations

from typing import Any

from forge_gpu.plain import frozen


@frozen
class DeviceArrays:
    """See kernels.arrays.Arrays; used while the device is entered. device: a kernels.cuda.device.Device.
    room_bytes: what a decision may take."""

    device: Any
    room_bytes: int
    at_once: int = 1 << 18

    @property
    def xp(self) -> Any:
        return self.device.xp

    def there(self, array: Any) -> Any:
        return self.device.upload(array)

    def here(self, array: Any) -> Any:
        return self.device.download(array)

    def ascending(self, keys: Any) -> Any:
        return self.xp.argsort(keys, kind="stable")

    def ascending_by(self, first: Any, second: Any) -> Any:
        return self.xp.lexsort(self.xp.stack((second, first.astype(second.dtype))))

    def room(self, budget_bytes: int) -> int:
        return min(budget_bytes, self.room_bytes)
